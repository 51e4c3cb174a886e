# Written by partition emit --target deepspeed, for DeepSpeed 0.19.6 (edaa72212).
# Plan of llama-six.onnx on 16 devices of h100-sxm, 768 sequences a step.
#
# The plan asks what these files do not say:
# - tensor parallelism inside a pipeline: layers must be split by the model itself; the topology in pipeline.py has their groups
# - stage boundaries of the plan: PipelineModule takes none: pipeline.py sets them on the module (parts) through its own partitioning hook
"""Pipeline of 4 stages for deepspeed.pipe.PipelineModule."""
from deepspeed.runtime.pipe.module import PipelineModule
from deepspeed.runtime.pipe.topology import ProcessTopology

AXES = ["pipe","data","model"]
DIMS = [4,2,2]
# First transformer layer of every stage, and their number at the end.
FIRST_LAYER = [0,1,3,5,6]


class PlannedPipeline(PipelineModule):
    """PipelineModule with the plan's boundaries.

    layers: embedding layers, then the transformer layers, then the head.
    before: how many entries of layers stand before the first transformer layer.
    """

    def __init__(self, layers, before=1, **kwargs):
        self._before = before
        super().__init__(layers=layers, topology=ProcessTopology(axes=AXES, dims=DIMS), **kwargs)

    def _partition_layers(self, method="parameters"):
        if FIRST_LAYER is None:
            return super()._partition_layers(method=method)
        parts = [0] + [self._before + first for first in FIRST_LAYER[1:-1]] + [len(self._layer_specs)]
        stage = self._topo.get_coord(self.global_rank).pipe
        self.parts = parts
        self._set_bounds(start=parts[stage], stop=parts[stage + 1])
