"""From tables of numbers to figures and tables for people; nothing is measured here."""
