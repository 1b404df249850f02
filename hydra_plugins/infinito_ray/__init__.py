"""Hydra's door to Ray: the launcher `hydra/launcher=ray`.

Hydra imports every module here whose name has no leading underscore when it starts, so those import
nothing but Hydra.
"""
