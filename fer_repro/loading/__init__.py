"""From a store to what a network is given: split, folds, view, sampler, augmentation, batch."""
