"""The yardstick: annotations against annotations, after ANSI/AAMI EC57.

Beats after the convention of ``bxb`` (``beats``), runs after ``rxr`` (``runs``), AF episodes and durations
after ``epicmp`` (``episodes``), the programs of the WFDB software package that implement the standard.
``records`` reads files and folders, ``report`` prints.

What EC57 asks for is known here from what is public of it: the abstract of the standard (the comparisons,
and the emphasis on results record by record), and "Evaluating ECG Analyzers" of the WFDB Applications Guide
(the rules, and the programs that are the standard's reference implementations). So the comparisons are called
by their names there. Clauses are not numbered: the text of the standard is not public, the abstract has one
number only (2.7, the definition of a QRS complex), and those that others cite contradict each other.
"""
