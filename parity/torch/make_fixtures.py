#!/usr/bin/env python3
"""Writes the PyTorch files that the tests of `druse import` read.

    python3 -m venv venv && venv/bin/pip install torch
    venv/bin/python parity/torch/make_fixtures.py

The networks have the layers and names of published CDVAE and published SyMat at tiny sizes. All weights come from the formula below, so
the tests know every number without reading it from here. `heads.json` and `symat_heads.json` hold what the heads give for
three latents, computed by PyTorch in 64 bits.
"""

import json
import math
import sys
import types
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "crates/druse-models/tests/fixtures/torch"
READER = ROOT / "crates/druse-nn/tests/fixtures/torch"


def formula(name, shape, base=0.0, amplitude=None):
    """base + amplitude sin(0.7 i + 2 (i^2 mod 1009) + h) for the flat index i, with h from the bytes of the name."""
    if amplitude is None:
        amplitude = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.1
    h = (sum(b * (k + 1) for k, b in enumerate(name.encode())) % 1000) / 1000 * 6.28318
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    values = base + amplitude * torch.sin(0.7 * i + 2.0 * torch.remainder(i * i, 1009) + h)
    return values.reshape(shape)


class Scale(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.scale_factor = nn.Parameter(torch.tensor(value), requires_grad=False)


class Dense(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)


class Pair(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense_mlp = nn.Sequential(Dense(width, width), Dense(width, width))


class Holder(nn.Module):
    """A module with the given children, parameters and buffers."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)


def parameter(*shape):
    return nn.Parameter(torch.empty(*shape))


def residual_mlp(width):
    return nn.ModuleList([Dense(width, width)] + [Pair(width) for _ in range(3)])


def perceptron(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def encoder(hidden, interaction, basis, wide, latent, blocks, spherical, radial):
    def residual():
        return Holder(lin1=nn.Linear(hidden, hidden), lin2=nn.Linear(hidden, hidden))

    def output():
        return Holder(
            lin_rbf=nn.Linear(radial, hidden, bias=False),
            lin_up=nn.Linear(hidden, wide),
            lins=nn.ModuleList([nn.Linear(wide, wide) for _ in range(3)]),
            lin=nn.Linear(wide, latent, bias=False),
        )

    def block():
        return Holder(
            lin_rbf1=nn.Linear(radial, basis, bias=False),
            lin_rbf2=nn.Linear(basis, hidden, bias=False),
            lin_sbf1=nn.Linear(spherical * radial, basis, bias=False),
            lin_sbf2=nn.Linear(basis, interaction, bias=False),
            lin_kj=nn.Linear(hidden, hidden),
            lin_ji=nn.Linear(hidden, hidden),
            lin_down=nn.Linear(hidden, interaction, bias=False),
            lin_up=nn.Linear(interaction, hidden, bias=False),
            layers_before_skip=nn.ModuleList([residual()]),
            lin=nn.Linear(hidden, hidden),
            layers_after_skip=nn.ModuleList([residual(), residual()]),
        )

    return Holder(
        rbf=Holder(freq=parameter(radial)),
        emb=Holder(
            emb=nn.Embedding(95, hidden),
            lin_rbf=nn.Linear(radial, hidden),
            lin=nn.Linear(3 * hidden, hidden),
        ),
        output_blocks=nn.ModuleList([output() for _ in range(blocks + 1)]),
        interaction_blocks=nn.ModuleList([block() for _ in range(blocks)]),
    )


def gemnet(hidden, triplet, basis, bilinear, latent, blocks, spherical, radial):
    def centres():
        return Holder(rbf=Holder(offset=torch.linspace(0, 1, radial)))

    def output(i):
        layers = residual_mlp(hidden)
        return Holder(
            dense_rbf=Dense(basis, hidden),
            scale_sum=Scale(1.5 + i),
            layers=layers,
            seq_energy=layers,
            out_energy=Dense(hidden, 1),
            seq_forces=residual_mlp(hidden),
            out_forces=Dense(hidden, 1),
            dense_rbf_F=Dense(basis, hidden),
            scale_rbf_F=Scale(11.25 + i),
        )

    def block(i):
        return Holder(
            dense_ca=Dense(hidden, hidden),
            trip_interaction=Holder(
                dense_ba=Dense(hidden, hidden),
                mlp_rbf=Dense(basis, hidden),
                scale_rbf=Scale(18.5 + i),
                mlp_cbf=Holder(weight=parameter(triplet, basis, bilinear)),
                scale_cbf_sum=Scale(7.75 + i),
                down_projection=Dense(hidden, triplet),
                up_projection_ca=Dense(bilinear, hidden),
                up_projection_ac=Dense(bilinear, hidden),
            ),
            layers_before_skip=nn.ModuleList([Pair(hidden)]),
            layers_after_skip=nn.ModuleList([Pair(hidden), Pair(hidden)]),
            atom_update=Holder(
                dense_rbf=Dense(basis, hidden),
                scale_sum=Scale(1.125 + i),
                layers=residual_mlp(hidden),
            ),
            concat_layer=Holder(dense=Dense(3 * hidden, hidden)),
            residual_m=nn.ModuleList([Pair(hidden)]),
        )

    return Holder(
        radial_basis=centres(),
        cbf_basis3=Holder(radial_basis=centres()),
        mlp_rbf3=Dense(radial, basis),
        mlp_cbf3=Holder(weight=parameter(spherical, radial, basis)),
        mlp_rbf_h=Dense(radial, basis),
        mlp_rbf_out=Dense(radial, basis),
        atom_emb=Holder(embeddings=nn.Embedding(100, hidden)),
        atom_latent_emb=nn.Linear(hidden + latent, hidden),
        edge_emb=Holder(dense=Dense(2 * hidden + radial, hidden)),
        out_blocks=nn.ModuleList([output(i) for i in range(blocks + 1)]),
        int_blocks=nn.ModuleList([block(i) for i in range(blocks)]),
    )


def levels(first, last, count):
    sigmas = torch.linspace(math.log(first), math.log(last), count, dtype=torch.float64).exp()
    return nn.Parameter(sigmas.float(), requires_grad=False)


def cdvae(predict_property):
    latent, head, max_atoms, hidden = 5, 7, 9, 4
    parts = dict(
        encoder=encoder(6, 3, 4, 8, latent, blocks=1, spherical=3, radial=5),
        decoder=Holder(
            gemnet=gemnet(hidden, 6, 3, 5, latent, blocks=1, spherical=2, radial=7),
            fc_atom=nn.Linear(hidden, 100),
        ),
        fc_mu=nn.Linear(latent, latent),
        fc_var=nn.Linear(latent, latent),
        fc_num_atoms=perceptron(latent, head, max_atoms + 1),
        fc_lattice=perceptron(latent, head, 6),
        fc_composition=perceptron(latent, head, 100),
    )
    if predict_property:
        parts["fc_property"] = perceptron(latent, head, 1)
    parts["sigmas"] = levels(10.0, 0.01, 13)
    parts["type_sigmas"] = levels(5.0, 0.01, 13)
    model = Holder(**parts)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.endswith(("scale_factor", "sigmas")):
                value.copy_(formula(name, tuple(value.shape)))
    return model


def class_of(module, name):
    """A class that pickles refer to as `module.name`, whatever is installed."""
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        path = ".".join(parts[:i])
        sys.modules.setdefault(path, types.ModuleType(path))
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


def scaler(means, stds):
    made = class_of("cdvae.common.data_utils", "StandardScalerTorch")()
    made.means, made.stds, made.replace_nan_token = means, stds, None
    return made


def lightning_checkpoint(model):
    """What a trainer of the time keeps beside the weights: states under classes, a configuration that knows its parent."""
    callback = class_of("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    node = class_of("omegaconf.dictconfig", "DictConfig")
    parent, child = node(), node()
    parent.content, child.parent = {"latent_dim": 9, "child": child}, parent
    weights = next(model.parameters())
    return {
        "epoch": 41,
        "global_step": 1234,
        "pytorch-lightning_version": "1.3.8",
        "state_dict": model.state_dict(),
        "callbacks": {callback: {"best_model_score": torch.tensor(0.25), "best_model_path": "epoch=41.ckpt"}},
        "optimizer_states": [{"state": {0: {"step": 3, "exp_avg": torch.zeros_like(weights)}}}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": parent,
    }


def in_one_storage(state, element):
    """The same tensors as views of one storage."""
    flat = torch.cat([t.reshape(-1) for t in state.values()]).to(element)
    parts = torch.split(flat, [t.numel() for t in state.values()])
    return OrderedDict((name, part.view(t.shape)) for (name, t), part in zip(state.items(), parts))


def property_predictor():
    model = Holder(encoder=encoder(6, 3, 4, 8, 1, blocks=1, spherical=3, radial=5))
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(formula(name, tuple(value.shape)))
    return model


def sphere_net(hidden, interaction, basis, wide, output, blocks, spherical, radial):
    """SyMat's encoder; `basis` has the widths of distances, angles and torsions."""
    (distance, angle, torsion), square = basis, spherical * spherical * radial

    def atoms():
        return Holder(
            lin_up=nn.Linear(hidden, wide),
            lins=nn.ModuleList([nn.Linear(wide, wide) for _ in range(3)]),
            lin=nn.Linear(wide, output, bias=False),
        )

    def block():
        return Holder(
            lin_rbf1=nn.Linear(radial, distance, bias=False),
            lin_rbf2=nn.Linear(distance, hidden, bias=False),
            lin_sbf1=nn.Linear(spherical * radial, angle, bias=False),
            lin_sbf2=nn.Linear(angle, interaction, bias=False),
            lin_t1=nn.Linear(square, torsion, bias=False),
            lin_t2=nn.Linear(torsion, interaction, bias=False),
            **messages(hidden, interaction, radial),
        )

    return Holder(
        init_e=first_messages(hidden, radial),
        init_v=atoms(),
        emb=Holder(dist_emb=Holder(freq=parameter(radial))),
        update_vs=nn.ModuleList([atoms() for _ in range(blocks)]),
        update_es=nn.ModuleList([block() for _ in range(blocks)]),
    )


def first_messages(hidden, radial):
    return Holder(
        emb=nn.Embedding(100, hidden),
        lin_rbf_0=nn.Linear(radial, hidden),
        lin=nn.Linear(3 * hidden, hidden),
        lin_rbf_1=nn.Linear(radial, hidden, bias=False),
    )


def messages(hidden, interaction, radial):
    def residual():
        return Holder(lin1=nn.Linear(hidden, hidden), lin2=nn.Linear(hidden, hidden))

    return dict(
        lin_rbf=nn.Linear(radial, hidden, bias=False),
        lin_kj=nn.Linear(hidden, hidden),
        lin_ji=nn.Linear(hidden, hidden),
        lin_down=nn.Linear(hidden, interaction, bias=False),
        lin_up=nn.Linear(interaction, hidden, bias=False),
        layers_before_skip=nn.ModuleList([residual()]),
        lin=nn.Linear(hidden, hidden),
        layers_after_skip=nn.ModuleList([residual(), residual()]),
    )


def distance_net(hidden, interaction, basis, blocks, radial):
    """SyMat's score network."""

    def block():
        return Holder(
            lin_rbf1=nn.Linear(radial, basis, bias=False),
            lin_rbf2=nn.Linear(basis, hidden, bias=False),
            **messages(hidden, interaction, radial),
        )

    return Holder(
        init_e=first_messages(hidden, radial),
        emb=Holder(freq=parameter(radial)),
        update_es=nn.ModuleList([block() for _ in range(blocks)]),
    )


def symat():
    latent, head, max_atoms, hidden = 5, 7, 4, 6
    model = Holder(
        encoder_backbone=sphere_net(latent, 3, (4, 2, 6), 8, 2 * latent, blocks=1, spherical=3, radial=5),
        fc_mu=nn.Linear(2 * latent, 2 * latent),
        fc_var=nn.Linear(2 * latent, 2 * latent),
        fc_elem_type=perceptron(latent, head, 100),
        fc_elem_num=perceptron(latent, head, max_atoms),
        fc_lattice_mu=perceptron(6, head, latent),
        fc_lattice_log_var=perceptron(6, head, latent),
        fc_lattice=perceptron(latent, head, 6),
        fc_elem_type_num=perceptron(latent, head, max_atoms),
        coordgen=Holder(
            backbone=distance_net(hidden, 4, 3, blocks=2, radial=7),
            fc_score=perceptron(hidden + latent, head, 1),
        ),
        fc_prop=perceptron(latent, head, 1),
    )
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(formula(name, tuple(value.shape)))
    # A second name of the same table.
    model.elem_emb = model.encoder_backbone.init_e.emb
    return model


def symat_heads(model, path):
    latents = torch.stack([torch.sin(0.37 * torch.arange(5, dtype=torch.float64) + 1.1 * c) for c in range(3)])
    wide, elements = model.double(), [1, 8, 22]
    result = {"latents": latents.tolist(), "elements": elements}
    with torch.no_grad():
        for name in ["fc_elem_type_num", "fc_elem_type", "fc_lattice"]:
            result[name] = getattr(wide, name)(latents).tolist()
        embeddings = wide.elem_emb(torch.tensor(elements) - 1)
        result["fc_elem_num"] = wide.fc_elem_num(latents * embeddings).tolist()
    path.write_text(json.dumps(result) + "\n")


def heads(model, path):
    latents = torch.stack([torch.sin(0.37 * torch.arange(5, dtype=torch.float64) + 1.1 * c) for c in range(3)])
    wide = model.double()
    names = ["fc_mu", "fc_var", "fc_num_atoms", "fc_lattice", "fc_composition", "fc_property"]
    result = {"latents": latents.tolist()}
    with torch.no_grad():
        result.update({name: getattr(wide, name)(latents).tolist() for name in names})
    path.write_text(json.dumps(result) + "\n")


def kinds():
    """Tensors of every type, and views: transposed, cut out, sharing a storage, of one element, empty."""
    base = formula("base", (4, 6)).float()
    tensors = OrderedDict((str(t).removeprefix("torch."), torch.tensor([0, 1, 100]).to(t)) for t in [
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])
    for t in [torch.float64, torch.float32, torch.float16, torch.bfloat16]:
        tensors[str(t).removeprefix("torch.")] = torch.tensor([1.5, -0.25, 1024.0]).to(t)
    tensors.update({
        "base": base,
        "transposed": base.t(),
        "part": base[1:4, 2:5],
        "row": base[2],
        "every_other": base[:, ::2],
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(base[0].clone()),
        "complex": torch.tensor([1 + 2j]),
    })
    return tensors


def main():
    for folder in (MODELS, READER):
        folder.mkdir(parents=True, exist_ok=True)
    torch.save(kinds(), READER / "kinds.pt")
    torch.save(kinds(), READER / "kinds_protocol_4.pt", pickle_protocol=4)
    with_property, plain = cdvae(True), cdvae(False)
    torch.save(lightning_checkpoint(with_property), MODELS / "cdvae.ckpt")
    torch.save(in_one_storage(plain.state_dict(), torch.float16), MODELS / "cdvae_half.pt")
    lattice = scaler(torch.tensor([2.4, 2.7, 3.6, 86.75, 84.5, 86.25]), torch.tensor([0.5, 0.6, 1.5, 18.5, 15.75, 19.25]))
    torch.save(lattice, MODELS / "lattice_scaler.pt")
    torch.save(scaler(torch.tensor(-1.25), torch.tensor(1.0625)), MODELS / "prop_scaler.pt")
    torch.save(in_one_storage(property_predictor().state_dict(), torch.float32), MODELS / "property.pt")
    heads(with_property, MODELS / "heads.json")
    of_symat = symat()
    torch.save(of_symat.state_dict(), MODELS / "symat.pth")
    state = of_symat.state_dict()
    torch.save(in_one_storage(state, torch.float16), MODELS / "symat_half.pt")
    state["elem_emb.weight"] = state["elem_emb.weight"] + 1
    torch.save(in_one_storage(state, torch.float16), MODELS / "symat_untied.pt")
    symat_heads(of_symat, MODELS / "symat_heads.json")


if __name__ == "__main__":
    main()
