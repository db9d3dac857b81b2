"""Every data set as one sample table beside one array of images."""
