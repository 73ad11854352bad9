"""Drawing what happens in a simulated room: one picture of an activity, as intense as it is.

The streamer's look gives the colours and the furniture; the activity what is going on; the
intensity how much light, movement and size there is in it. Everything else is chance.
"""

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

from limelight.replay.simulator.world import ACTIVITIES, RoomTruth

WIDTH, HEIGHT = 320, 180
_Colour = tuple[int, int, int]
_SKIN: tuple[_Colour, ...] = ((241, 206, 180), (224, 172, 138), (141, 95, 68), (250, 222, 202))


class Artist:
    """Draws the pictures of one room; the random generator moves what is not part of the truth."""

    def __init__(self, truth: RoomTruth) -> None:
        self._truth = truth
        look = np.random.default_rng(truth.streamer.look)
        self._hue = float(look.random())
        self._skin = _SKIN[int(look.integers(len(_SKIN)))]
        self._shirt = _colour(float(look.random()), 0.55, 0.75)
        self._hair = _colour(float(look.random()) * 0.12, 0.6, float(look.uniform(0.1, 0.6)))
        self._shelf = int(look.integers(0, 3))

    def picture(
        self, segment: int, rng: np.random.Generator, size: tuple[int, int] = (WIDTH, HEIGHT)
    ) -> Image.Image:
        """One moment of a segment, (width, height) pixels RGB."""
        # A normal number onto 0..1: half the segments lie between 0.34 and 0.66.
        energy = 1 / (1 + math.exp(-float(self._truth.intensity[segment])))
        activity = ACTIVITIES[int(self._truth.activity[segment])]
        width, height = size
        light = {"idle": 0.28, "talk": 0.55, "product": 0.62, "pk": 0.5, "dance": 0.35}[activity]
        image = Image.new("RGB", size, _colour(self._hue, 0.35, light + 0.25 * energy))
        canvas = _Canvas(ImageDraw.Draw(image), width, height, rng)
        self._room(canvas, energy)
        getattr(self, f"_{activity}")(canvas, energy)
        self._sparks(canvas, energy)
        return image

    def _room(self, canvas: "_Canvas", energy: float) -> None:
        floor = _colour(self._hue, 0.45, 0.22)
        canvas.box(0.0, 0.82, 1.0, 1.0, floor)
        for shelf in range(self._shelf):
            canvas.box(0.04, 0.2 + 0.18 * shelf, 0.2, 0.23 + 0.18 * shelf, floor)

    def _talk(self, canvas: "_Canvas", energy: float) -> None:
        self._person(canvas, 0.5, 0.42 + 0.12 * energy, mouth=energy)

    def _dance(self, canvas: "_Canvas", energy: float) -> None:
        for beam in range(2 + round(4 * energy)):
            x = canvas.jitter(0.15 + 0.14 * beam, 0.04)
            colour = _colour(self._hue + 0.17 * beam, 0.7, 0.6 + 0.4 * energy)
            canvas.line([(0.5, -0.05), (x, 1.0)], colour, 0.012 + 0.03 * energy)
        x, reach = canvas.jitter(0.5, 0.12 * energy), 0.10 + 0.14 * energy
        canvas.line([(x, 0.38), (x, 0.66)], self._shirt, 0.07)
        for side in (-1, 1):
            up = canvas.jitter(0.30, 0.1) - 0.2 * energy
            canvas.line([(x, 0.42), (x + side * reach, up)], self._skin, 0.03)
            foot = x + side * canvas.jitter(reach * 0.7, 0.03)
            canvas.line([(x, 0.66), (foot, 0.92)], self._shirt, 0.035)
        self._head(canvas, x, 0.29, 0.085)

    def _pk(self, canvas: "_Canvas", energy: float) -> None:
        canvas.box(0.5, 0.0, 1.0, 1.0, _colour(self._hue + 0.5, 0.5, 0.45 + 0.25 * energy))
        self._person(canvas, 0.25, 0.36, mouth=energy)
        self._person(canvas, 0.75, 0.36, mouth=energy)
        canvas.box(0.05, 0.06, 0.05 + 0.9 * energy, 0.06 + 0.05, (235, 60, 80))
        canvas.box(0.05 + 0.9 * energy, 0.06, 0.95, 0.11, (70, 110, 235))

    def _product(self, canvas: "_Canvas", energy: float) -> None:
        self._person(canvas, 0.27, 0.36, mouth=0.3)
        size = 0.10 + 0.14 * energy
        x, y = canvas.jitter(0.68, 0.04), canvas.jitter(0.55, 0.04)
        canvas.box(x - size, y - size, x + size, y + size, _colour(0.1, 0.5, 0.9))
        canvas.box(x - size, y - 0.02, x + size, y + 0.02, (220, 40, 60))
        canvas.box(x + 0.4 * size, y - size, x + size, y - 0.4 * size, (250, 230, 60))

    def _idle(self, canvas: "_Canvas", energy: float) -> None:
        chair = _colour(self._hue + 0.08, 0.3, 0.16 + 0.2 * energy)
        canvas.box(0.42, 0.4, 0.58, 0.72, chair)
        canvas.box(0.40, 0.68, 0.60, 0.76, chair)
        canvas.line([(0.5, 0.76), (0.5, 0.92)], chair, 0.02)

    def _person(self, canvas: "_Canvas", x: float, size: float, *, mouth: float) -> None:
        x = canvas.jitter(x, 0.02)
        canvas.box(x - 0.3 * size, 0.62, x + 0.3 * size, 1.0, self._shirt)
        self._head(canvas, x, 0.42, 0.4 * size)
        opened = canvas.jitter(0.02 + 0.09 * mouth, 0.01) * size * 2
        canvas.oval(x, 0.42 + 0.2 * size, 0.12 * size, opened, (150, 40, 50))

    def _head(self, canvas: "_Canvas", x: float, y: float, radius: float) -> None:
        canvas.oval(x, y - 0.15 * radius, 0.62 * radius, 1.05 * radius, self._hair)
        canvas.oval(x, y + 0.1 * radius, 0.52 * radius, 0.9 * radius, self._skin)
        for side in (-1, 1):
            canvas.oval(x + side * 0.2 * radius, y, 0.07 * radius, 0.1 * radius, (30, 25, 30))

    def _sparks(self, canvas: "_Canvas", energy: float) -> None:
        for _ in range(round(14 * max(0.0, energy - 0.3))):
            x, y = canvas.rng.random(2)
            canvas.oval(float(x), float(y) * 0.8, 0.008, 0.014, (255, 250, 210))


class _Canvas:
    """Drawing in shares of the picture's width and height."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, width: int, height: int, rng: np.random.Generator
    ) -> None:
        self._draw = draw
        self._size = (width, height)
        self.rng = rng

    def jitter(self, value: float, spread: float) -> float:
        return value + spread * float(self.rng.uniform(-1, 1))

    def box(self, left: float, top: float, right: float, bottom: float, colour: _Colour) -> None:
        width, height = self._size
        x0, x1 = sorted((left * width, right * width))
        y0, y1 = sorted((top * height, bottom * height))
        self._draw.rectangle((x0, y0, x1, y1), fill=colour)

    def oval(self, x: float, y: float, x_radius: float, y_radius: float, colour: _Colour) -> None:
        width, height = self._size
        x0, y0 = (x - x_radius) * width, (y - y_radius) * height
        self._draw.ellipse((x0, y0, x0 + 2 * x_radius * width, y0 + 2 * y_radius * height), colour)

    def line(self, points: list[tuple[float, float]], colour: _Colour, thickness: float) -> None:
        width, height = self._size
        pixels = [(x * width, y * height) for x, y in points]
        self._draw.line(pixels, fill=colour, width=max(1, round(thickness * height)))


def _colour(hue: float, saturation: float, value: float) -> _Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, min(max(value, 0.0), 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)
