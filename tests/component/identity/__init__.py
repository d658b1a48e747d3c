"""A package, so that pytest takes down the stage that its tests share when they are over, and not at the end of everything."""
