"""ecgedge: an arrhythmia monitor from a single-lead ECG sensor and a small computer.

Not a medical device. Importing this package pulls in nothing beyond the standard library.
"""

__version__ = "0.1.0"
