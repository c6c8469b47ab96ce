"""Trains a small network in PyTorch with batches of Dropstream's data service, and continues where an earlier call stopped.

    pip install ./libs/python-client torch
    python libs/python-client/examples/pytorch_loop.py MANIFEST --data 127.0.0.1:7011,127.0.0.1:7021

The batches are loaded, augmented and mixed by the service and read ahead by the client's own threads, so the loop needs no DataLoader. The position
in the data is saved with the weights: a loop that is killed goes on with exactly the batches that it has not seen.
"""

import argparse
import os
import sys

from dropstream import BatchesState, Client

try:
    import torch
except ImportError:
    sys.exit("this example needs PyTorch: pip install torch")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest")
    parser.add_argument("--data", help="addresses of the replicas, joined by commas (default: DROPSTREAM_DATA)")
    parser.add_argument("--size", type=int, default=28, help="height and width of the images")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--stop-after", type=int, help="stop after this number of steps, as if the loop were killed")
    parser.add_argument("--checkpoint", default="loop.pt")
    options = parser.parse_args()

    plan = {
        "dataset": {"manifest": options.manifest},
        "batch_size": options.batch_size,
        "transform": {"input_size": options.size, "training": True, "aa": ""},
        "mix": {},
    }
    torch.manual_seed(0)
    with Client(data=options.data) as client:
        classes = len(client.describe(options.manifest).classes)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * options.size**2, 64), torch.nn.ReLU(), torch.nn.Linear(64, classes))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        start = (0, 0)
        if os.path.exists(options.checkpoint):
            saved = torch.load(options.checkpoint, weights_only=True)
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            start = BatchesState.from_json(saved["batches"])

        steps = 0
        with client.batches(plan, start=start, epochs=options.epochs) as batches:
            for batch in batches:
                images, targets = map(torch.from_numpy, batch)
                # Mixed batches have soft targets, which cross_entropy takes as they are.
                loss = torch.nn.functional.cross_entropy(model(images), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps += 1
                print(f"epoch {batch.epoch} batch {batch.index}: loss {loss.item():.9f}")
                if steps == options.stop_after:
                    break
            state = batches.state()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "batches": state.to_json()}, options.checkpoint)


if __name__ == "__main__":
    main()
