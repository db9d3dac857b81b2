"""The face renderer: identity, expression, pose, light and occlusion are all known: they are its inputs."""
