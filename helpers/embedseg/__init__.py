"""EmbedSeg: instance segmentation by spatial embeddings, in two and three dimensions.

Each pixel of an object learns to point at the object's centre, and how far around the centre
the pointed-at places of its fellows may lie; a seed map says which pixels do so well. Pixels
that point to the same place are one object, whatever its shape. Source: Lalit, Tomancak, Jug:
Embedding-based Instance Segmentation in Microscopy, MIDL 2021; written from its formulas.

    space = EmbeddingSpace((1, 1))                     what raw output means, in pixels or µm
    source = CropSource(images, labels, shape)         crops around objects, with their centres
    model = build_embedding_unet()                     or build_branched_erfnet, as published
    model.compile("adam", EmbedSegLoss(space), jit_compile=False)
    crop_batches(source, batch_size=16, seed=[0, epoch])
    raw = predict_raw(model, image)                    tiled, with test-time augmentation
    cluster_embeddings(raw, space, **tune_embedseg_thresholds(...))
"""

from helpers.embedseg.batches import crop_batches
from helpers.embedseg.clustering import cluster_embeddings
from helpers.embedseg.crops import CropSource, suggest_crop_size, suggest_space
from helpers.embedseg.loss import EmbedSegLoss
from helpers.embedseg.medoids import find_centers
from helpers.embedseg.network import build_branched_erfnet
from helpers.embedseg.predict import predict_embedseg, predict_raw
from helpers.embedseg.sliced import predict_sliced, sliced_space
from helpers.embedseg.small_network import build_embedding_unet
from helpers.embedseg.space import EmbeddingSpace
from helpers.embedseg.thresholds import EmbedAP, smallest_object, tune_embedseg_thresholds

__all__ = [
    "CropSource",
    "EmbedAP",
    "EmbedSegLoss",
    "EmbeddingSpace",
    "build_branched_erfnet",
    "build_embedding_unet",
    "cluster_embeddings",
    "crop_batches",
    "find_centers",
    "predict_embedseg",
    "predict_raw",
    "predict_sliced",
    "sliced_space",
    "smallest_object",
    "suggest_crop_size",
    "suggest_space",
    "tune_embedseg_thresholds",
]
