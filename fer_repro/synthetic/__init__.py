"""The face renderer: identity, expression, pose, light and occlusion are all known because they are drawn."""
