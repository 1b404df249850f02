"""Hydra's door to `infinito.search`: the sweeper `hydra/sweeper=mcts`.

Hydra imports every module here whose name has no leading underscore when it starts, so those import
nothing but Hydra.
"""
