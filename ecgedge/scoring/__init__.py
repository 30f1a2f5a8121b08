"""The yardstick: annotations against annotations, after ANSI/AAMI EC57.

Beats after the convention of ``bxb`` (``beats``), runs after ``rxr`` (``runs``), AF episodes and durations
after ``epicmp`` (``episodes``), the programs of the WFDB software package that implement the standard.
``records`` reads files and folders, ``report`` prints.
"""
