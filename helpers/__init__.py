"""What several notebooks share: one module per step, from files to scores.

``import helpers`` is cheap (no TensorFlow, no Matplotlib). It does one thing: it gets
:mod:`helpers.compat` ready, so that old packages imported later run on NumPy 2 and Keras 3.
"""

from helpers import compat

compat.install()
