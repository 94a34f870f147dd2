"""What is right: `answers` grades, and groups for the majority vote; `equations` says which hold."""
