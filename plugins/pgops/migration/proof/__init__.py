"""What a database consists of, compared before and after."""
