"""This machine as something to render on: FFmpeg, one graphics card, and what proved to work with them.

A proof is remembered under all that it rests on: FFmpeg's version, the card, its driver. So nothing is tried twice, and
nothing is believed after one of them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from reelyard.domain.errors import GraphicsCardBusy
from reelyard.domain.farm import Capabilities
from reelyard.domain.output import HD, OutputForm
from reelyard.domain.plan import Encoding
from reelyard.engine import encoders, gpus
from reelyard.engine.discover import find_ffmpeg
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.gpus import Gpu
from reelyard.engine.memory import Memory
from reelyard.files.slots import Slots
from reelyard.settings import Settings
from reelyard.system.this_system import this_system

from .capabilities import capabilities
from .cards import CardState


def _packaged_or_named(settings: Settings, memory: Memory) -> FFmpeg:
    return find_ffmpeg(settings.ffmpeg, memory, settings.stall_seconds)


@dataclass(frozen=True)
class Machine:
    """``encoder`` overrides the setting. ``find_ffmpeg`` and ``find_gpus`` say what there is."""

    settings: Settings
    memory: Callable[[], Memory]
    encoder: str | None = None
    find_ffmpeg: Callable[[Settings, Memory], FFmpeg] = _packaged_or_named
    find_gpus: Callable[[], tuple[Gpu, ...]] = gpus.find_gpus

    @cached_property
    def gpus(self) -> tuple[Gpu, ...]:
        """The graphics cards that this process may use."""
        return self.find_gpus()

    @cached_property
    def gpu(self) -> Gpu | None:
        """The card that it does use: the one in the settings, otherwise the first."""
        return gpus.chosen_gpu(self.gpus, self.settings.gpu)

    @cached_property
    def ffmpeg(self) -> FFmpeg:
        """FFmpeg, which sees that card and no other."""
        found = self.find_ffmpeg(self.settings, self.memory())
        if self.settings.gpu == gpus.NONE:
            return found.bound(gpus.NO_CARD)
        return found.bound(self.gpu.binding) if self.gpu else found

    def on_card(self, gpu: Gpu) -> Machine:
        """The same with another card."""
        settings = self.settings.model_copy(update={"gpu": str(gpu.index)})
        return replace(self, settings=settings)

    @property
    def card_folder(self) -> Path:
        """Where the processes of this machine agree about the card."""
        name = self.gpu.identity if self.gpu else "card"
        return self.settings.data_dir / "graphics-cards" / name

    @property
    def sessions(self) -> Slots:
        """How many encodes the card does at once, from all processes here."""
        return Slots(self.card_folder, self.settings.gpu_sessions)

    # What works

    def working_encoder(self, form: OutputForm = HD) -> str:
        """The encoder of films: the one that is asked for, or the best that proves to work."""
        return self.proven(self.encoder or self.settings.encoder, form)

    def proven(self, wanted: str | None, form: OutputForm = HD) -> str:
        """The encoder ``wanted``, or the best, once it was proved.

        Raises EncoderUnavailable, GraphicsCardBusy.
        """
        name = ("encoder", wanted or "", form.name, *self._rests_on)
        known = self.memory().recall(*name)
        if isinstance(known, str):
            return known
        found = encoders.choose(self.ffmpeg, wanted, form)
        if not found.passing:
            self.memory().keep(found.encoder, *name)
        return found.encoder

    def encoding(self, encoder: str, form: OutputForm) -> Encoding:
        return encoders.encoding(encoder, form, self.ffmpeg, self._card)

    def card_decodes(self, encoder: str) -> frozenset[str] | None:
        """The codecs whose clips the card prepares for this encoder; None if it is to prepare nothing."""
        if encoder != encoders.NVENC or not self.settings.gpu_filters:
            return None
        name = ("decodes", *self._rests_on)
        known = self.memory().recall(*name)
        if not isinstance(known, list):
            try:
                known = list(gpus.proven_codecs(self.ffmpeg, self.encoding(encoder, HD)))
            except GraphicsCardBusy:
                return frozenset()  # to be tried again
            self.memory().keep(known, *name)
        return frozenset(known)

    @property
    def working_gpus(self) -> tuple[Gpu, ...]:
        """The cards that encode, of those that the settings let be used."""
        if self.settings.encoder == encoders.X264 or self.settings.gpu == gpus.NONE:
            return ()
        cards = self.gpus if self.settings.gpu is None else filter(None, [self.gpu])
        return tuple(one for one in cards if self.on_card(one).proven(None) == encoders.NVENC)

    def able(self) -> Capabilities:
        """What this machine can do with its card."""
        decodes = lambda: self.card_decodes(encoders.NVENC) or ()  # noqa: E731
        return capabilities(self.ffmpeg, self.settings.cache_dir, self.gpu, decodes)

    def cards(self) -> Iterator[CardState]:
        """Each card here and what it can do."""
        for gpu in self.gpus:
            bound = self.on_card(gpu)
            reason = encoders.try_encode(bound.ffmpeg, encoders.NVENC)
            yield CardState(gpu, bound.able(), reason)

    @property
    def _card(self) -> str:
        """The card's model and driver, as far as they are known."""
        return self.gpu.model if self.gpu else this_system().graphics_driver()

    @property
    def _rests_on(self) -> tuple[str, ...]:
        """All that a proof rests on."""
        which = self.gpu.identity if self.gpu else self.settings.gpu or ""
        return (str(self.ffmpeg.executable), self.ffmpeg.version, self._card, which)
