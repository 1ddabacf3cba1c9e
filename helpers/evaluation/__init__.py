"""Notebook 10: all runs of a data set, scored by one function, compared on the same terms.

    adopt         run folders of results that no notebook made
    rescore       predictions of runs scored anew
    leaderboard   tables by run, by image, by size of the objects
    comparison    which runs may be compared, and how sure a difference is
    second_truth  a second labelling of the same test images
    voidseg       what denoising gains, over numbers of labels and seeds

Import from these modules.
"""
