"""Height maps of atomic force microscopes: from files to areas and heights.

    files       the formats of the makers  (an optional package reads them)
    heightmaps  the glass flat and at 0, scan lines level, spikes out, heights scaled
    threshold   the classical way to cells, the network's rival
    overlaps    scans that show the same piece of a sample
    measures    area, height and volume of what was found

Import from these modules.
"""
