"""A U-Net of monai learns the buildings on chips of Inria: python segmenter.py [CATALOG]."""

import sys

import torch
from monai.networks.nets import UNet
from torch.nn.functional import cross_entropy

from satimnet.builder.chipping import chip
from satimnet.training import open_samples

path = sys.argv[1] if sys.argv[1:] else "demo/catalog"
chip(path, "inria", (100, 100))
chips = open_samples(path).search(collections="inria-chips", split="train")
learned, held_out = chips.subset(range(48)), chips.subset(range(48, 64))
how = {"mask": "mask", "labels": None, "scale": 1 / 255}
network = UNet(2, 3, 2, channels=(16, 32, 64), strides=(2, 2), num_res_units=1)
optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
for epoch in range(10):
    for batch in learned.to_batches(8, shuffle=True, seed=epoch, **how):
        loss = cross_entropy(network(batch.images), batch.masks.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}")
with torch.no_grad():
    (batch,) = held_out.to_batches(16, **how)
    found, true = network.eval()(batch.images).argmax(1) == 1, batch.masks == 1
print(f"IoU of buildings {(found & true).sum() / (found | true).sum():.2f} on 16 held-out chips")
