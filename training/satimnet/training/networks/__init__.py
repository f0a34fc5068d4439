"""Networks: the three CNNs of the paper, trained and judged.

Samples come in: ``usable_samples`` chooses those that a network can take, ``held_out`` divides
them, ``inputs`` and ``windows`` put them on the device. ``training`` follows a ``training_plan``,
keeps its ``training_state`` and writes ``checkpoints``. ``evaluation`` judges networks,
``crossvalidation`` trains and judges many, ``reports`` and ``plots`` write down how they did.
"""
