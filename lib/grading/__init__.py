"""What is right: `answers` says which answers are equal, to grade and to vote; `equations` which hold."""
