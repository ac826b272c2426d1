"""The exponential moving average (EMA) of a network's weights, steadier on unseen people than the last step's."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class WeightEMA:
    """Exponential moving average of weights and of batch norm's statistics.

    After each step average = decay average + (1 - decay) weights, beginning with the first step's weights (Polyak and
    Juditsky, 1992; Tarvainen and Valpola, Mean teachers, 2017).

    Args:
        model: trained elsewhere; on its final device and in its final memory format.
        decay: 0 to below 1; 0 averages nothing, and `network` is the model itself.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._average: AveragedModel | None = None
        if decay:
            blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            self._average = AveragedModel(model, multi_avg_fn=blend, use_buffers=True)

    def update(self) -> None:
        """Take in the weights after an optimiser step."""
        if self._average is not None:
            self._average.update_parameters(self._model)

    @property
    def network(self) -> nn.Module:
        """The network to measure and to keep: the average, or the model itself where nothing is averaged."""
        return self._model if self._average is None else self._average.module

    def state_dict(self) -> dict[str, object]:
        """Empty where nothing is averaged."""
        return {} if self._average is None else self._average.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take back what `state_dict` gave."""
        if self._average is not None:
            self._average.load_state_dict(state)
