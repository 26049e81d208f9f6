"""Images, their corruptions and their augmentation: what the image replications train on."""
