"""Tables, figures and the page people read: made from files, without torch."""
