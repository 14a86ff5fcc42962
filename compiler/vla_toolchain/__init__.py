"""What needs both the compiler and the runtime, which know nothing of each other: the command lines and checks.

vlac_cli.py, vlarun_cli.py    the commands `vlac` and `vlarun`
verify/                       is a compiled program what the user's model computes?
conformance/                  compiled graphs as a conformance suite (T3)
"""
