"""A small detector in plain torch, and its average precision by pycocotools.

For each class it has a map of where centres of objects are, at a quarter of the image's size, and
beside it two maps of widths and heights and two of where in its cell a centre is (Zhou et al. 2019,
https://arxiv.org/abs/1904.07850).
"""

import contextlib
import io

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.nn.functional import l1_loss, logsigmoid, max_pool2d

STRIDE = 4
MOST = 50
"""Boxes that are looked at in an image."""


def network(classes, width=24):
    """Images (sample, 3, y, x), values from 0 to 1, to maps (sample, classes + 4, y / 4, x / 4)."""

    def block(before, after, stride=1, dilation=1):
        how = {"stride": stride, "padding": dilation, "dilation": dilation, "bias": False}
        return [nn.Conv2d(before, after, 3, **how), nn.BatchNorm2d(after), nn.ReLU()]

    made = nn.Sequential(
        *block(3, width, 2),
        *block(width, width, 2),
        *(layer for dilation in (1, 2, 4) for layer in block(width, width, 1, dilation)),
        nn.Conv2d(width, classes + 4, 1),
    )
    nn.init.constant_(made[-1].bias, -3.0)  # at first there is hardly an object anywhere
    return made


def loss_of(maps, targets):
    """Focal loss of the centres, and the distance of sizes and offsets at them."""
    centres, boxes = maps[:, :-4], maps[:, -4:]
    wanted, at, shapes = torch.zeros_like(centres), [], []
    y, x = torch.meshgrid(*(torch.arange(n) for n in centres.shape[2:]), indexing="ij")
    for sample, target in enumerate(targets):
        for box, label in zip(target["boxes"] / STRIDE, target["labels"].tolist(), strict=True):
            size, centre = box[2:] - box[:2], (box[2:] + box[:2]) / 2
            column, row = (int(v) for v in centre.clamp(max=x.shape[1] - 1e-3).floor())
            far = ((x - column) / (size[0] / 6 + 0.4)) ** 2 + ((y - row) / (size[1] / 6 + 0.4)) ** 2
            wanted[sample, label - 1] = wanted[sample, label - 1].maximum((-far / 2).exp())
            at.append((sample, row, column))
            shapes.append(torch.cat([size.log(), centre - torch.tensor([column, row])]))
    sure = centres.sigmoid()
    peaks = wanted == 1
    missed = -((1 - sure) ** 2 * logsigmoid(centres))[peaks].sum()
    invented = -((1 - wanted) ** 4 * sure**2 * logsigmoid(-centres))[~peaks].sum()
    loss = (missed + invented) / max(1, len(at))
    if at:
        samples, rows, columns = torch.tensor(at).T
        loss = loss + l1_loss(boxes[samples, :, rows, columns], torch.stack(shapes))
    return loss


@torch.no_grad()
def found_in(model, images):
    """For each image its boxes as detectors of torchvision give them: boxes, labels, scores."""
    maps = model.eval()(images)
    centres, shapes = maps[:, :-4].sigmoid(), maps[:, -4:]
    centres = centres * (centres == max_pool2d(centres, 5, 1, 2))
    found = []
    for scores, shape in zip(centres, shapes, strict=True):
        best = scores.flatten().topk(min(MOST, scores.numel()))
        label, rest = best.indices // scores[0].numel(), best.indices % scores[0].numel()
        row, column = rest // scores.shape[2], rest % scores.shape[2]
        sizes, offsets = shape[:2, row, column].T.exp(), shape[2:, row, column].T
        middle = torch.stack([column, row], 1) + offsets
        boxes = torch.cat([middle - sizes / 2, middle + sizes / 2], 1) * STRIDE
        found.append({"boxes": boxes, "labels": label + 1, "scores": best.values})
    return found


def train(model, batches, rate=6e-3):
    """Learns from an iterable of all batches of all epochs, whose number is `len` of it."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, len(batches))
    model.train()
    for images, targets in batches:
        optimizer.zero_grad()
        loss_of(model(images), targets).backward()
        optimizer.step()
        schedule.step()
    return model


def average_precision(found, targets):
    """The mean over the classes of the average precision at an overlap of 0.5, by pycocotools."""

    def rows(all_objects, name):
        for image, objects in enumerate(all_objects, 1):
            scores = objects.get("scores", torch.ones(len(objects["labels"])))
            sizes = objects["boxes"][:, 2:] - objects["boxes"][:, :2]
            boxes = torch.cat([objects["boxes"][:, :2], sizes], 1).tolist()
            for box, label, score in zip(boxes, objects["labels"].tolist(), scores, strict=True):
                row = {"image_id": image, "category_id": label, "bbox": box, "iscrowd": 0}
                yield row | {"area": box[2] * box[3], "score": float(score)}

    classes = sorted({label for target in targets for label in target["labels"].tolist()})
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(1, len(targets) + 1)],
        "categories": [{"id": label} for label in classes],
        "annotations": [row | {"id": k} for k, row in enumerate(rows(targets, "truth"), 1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judged = COCOeval(truth, truth.loadRes(list(rows(found, "found"))), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[1])
