"""Saved models that predict: further images, folders of them, arrays larger than memory.

    predictors  what a model folder holds, saved with it and checked when loaded
    methods     how each method gets from an image to its result
    loading     the saved model of each method
    records     runs that were saved without what a prediction needs
    checks      is an image one that the model was made for?
    folder      ``python -m helpers predict``: resumable, one line per image
    notebook    the same from a notebook with ``PREDICT_ONLY = True``

Import from these modules.
"""
