"""What runs inside a build sandbox: resolves, builds wheels, prepares data, compiles bytecode.

Standard library only, and mounted beside `graders.runner`, whose frames it speaks. Whatever is
built here may run code of its authors, and nothing else may come near it.
"""
