"""One adapter per data set: the publisher's layout in, sample table and images out."""
