//! Expressions: CEL syntax, checked statically, compiled to a typed plan of our own.
