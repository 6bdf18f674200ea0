"""Speed, shown: each benchmark measures us and a yardstick alternately in one run and prints the ratio."""
