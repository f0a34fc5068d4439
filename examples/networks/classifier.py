"""A ResNet of timm learns the classes of EuroSAT: python classifier.py [CATALOG]."""

import sys

import torch
from torch.nn.functional import cross_entropy
from torchvision_cpu import import_torchvision

from satimnet.training import open_samples

import_torchvision()
import timm  # noqa: E402 - it imports torchvision

catalog = open_samples(sys.argv[1] if sys.argv[1:] else "demo/catalog")
learned, held_out = catalog.search(collections="eurosat").holdout(0.2)
network = timm.create_model("resnet18", in_chans=13, num_classes=len(learned.classes))
optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
for epoch in range(6):
    for batch in learned.to_batches(16, scale=1e-4, shuffle=True, seed=epoch):
        loss = cross_entropy(network(batch.images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}")
network.eval()
with torch.no_grad():
    batches = held_out.to_batches(32, scale=1e-4)
    right = sum(int((network(b.images).argmax(1) == b.labels).sum()) for b in batches)
print(f"{right} of {len(held_out)} held-out patches are right")
