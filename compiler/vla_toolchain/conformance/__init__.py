"""Suite T3: graphs of one operator as the compiler makes them, and the command that runs all suites."""
