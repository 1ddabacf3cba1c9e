"""A report of one run: a single HTML file with all that a reader or a reviewer asks for.

    page     the file
    text     the paragraph for a paper, and whom to cite
    figures  learning curve, scores, worst and best image
    pdf      the same as PDF, where a program that renders HTML is there

What `__all__` lists can be imported from here.
"""

from helpers.report.page import report_failures, write_report

__all__ = [
    "report_failures",
    "write_report",
]
