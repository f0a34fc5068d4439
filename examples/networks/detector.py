"""SSDlite of torchvision learns objects on chips of DOTA: python detector.py [CATALOG]."""

import sys

import torch
from torchvision_cpu import import_torchvision

from satimnet.builder.chipping import chip
from satimnet.training import open_samples

import_torchvision()
from torchvision.models.detection import ssdlite320_mobilenet_v3_large  # noqa: E402

path = sys.argv[1] if sys.argv[1:] else "demo/catalog"
chip(path, "dota", (160, 160))
known = {"collections": "dota-chips", "filter": "satimnet:classes IS NOT NULL"}
chips, how = open_samples(path).search(**known), {"objects": "boxes", "scale": 1 / 255}
classes = 1 + len(chips.classes)  # 0 is the background
network = ssdlite320_mobilenet_v3_large(None, num_classes=classes, weights_backbone=None)
optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
for epoch in range(5):
    for batch in chips.to_batches(8, shuffle=True, seed=epoch, labels=None, **how):
        loss = sum(network(list(batch.images), batch.objects).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.2f}")
with torch.no_grad():
    found = network.eval()(list(batch.images))
print(f"{chips.ids[batch.indices[0]]}: {len(found[0]['boxes'])} boxes")
