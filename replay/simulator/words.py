"""What is said in a simulated room: the streamer's speech and the audience's comments.

Speech tells which activity it is about, and in how it is said how good the talk is. Comments
answer to what was shown ten to forty seconds ago; among them are noise and bots.
"""

from dataclasses import dataclass

import numpy as np

from limelight.kernels.energy import SEGMENT_MS
from limelight.replay.simulator.world import ACTIVITIES, RoomTruth

_ABOUT = {
    "talk": ("我们来聊聊天", "昨天发生了一件事", "大家有什么问题", "说说你们那边的天气"),
    "dance": ("音乐准备好了", "这支舞练了很久", "跟着节奏一起跳", "换一首快歌"),
    "pk": ("对面的主播你好", "这一局我们要赢", "大家帮我冲一下", "倒计时最后一分钟"),
    "product": ("这个杯子今天特价", "三号链接已经上架", "材料是纯棉的", "库存只有五十件"),
    "idle": ("我去倒杯水", "稍等一下马上回来", "等一会儿再开始", "调一下设备"),
}
# From the dullest talk to the best, by the quality of the talk.
_TALK = (
    ("哎哎", "那个那个", "没什么好说的", "就这样吧", "随便啦"),
    ("还行吧", "一般般", "先这样", "差不多了", "知道了"),
    ("好的好的", "欢迎新来的朋友", "谢谢支持", "点点关注", "我看看评论"),
    ("给你们讲个好玩的", "这个故事很精彩", "你们猜怎么着", "太有意思了", "听我说完"),
    ("笑死我了哈哈哈", "绝对没人知道的秘密", "全场最高能来了", "精彩到爆炸", "不看后悔一辈子"),
)
# From bored to moved, by how exciting the room was a while ago.
_REACTIONS = (
    ("无聊", "走了", "好困", "换台了", "没意思"),
    ("哦", "哈", "在干嘛", "一般", "路过"),
    ("来了", "主播好", "晚上好", "第一次来", "签到"),
    ("不错不错", "好看", "加油", "喜欢", "继续继续"),
    ("哈哈哈哈哈", "太强了", "啊啊啊啊", "好厉害", "666666"),
)
_NOISE = ("有人吗", "几点了", "吃饭了没", "听不清", "卡了卡了", "1", "？？？", "主播是哪里人")
_BOTS = ("加群领红包", "看我主页有福利", "代刷人气便宜", "免费领取会员")

_UTTERANCES = 4
_MOST_COMMENTS = 40
_NOISE_SHARE = 0.25
_BOT_ROOM_RATE = 0.1
_BOT_COMMENTS_A_SEGMENT = 6


@dataclass(frozen=True, slots=True)
class Utterance:
    """A piece of speech, times in ms since the room's start."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class ViewerComment:
    at_ms: int
    user: str
    text: str


def speech(truth: RoomTruth, rng: np.random.Generator) -> list[Utterance]:
    """All that the streamer says, in order."""
    spoken = truth.spoken_activity
    said = []
    for segment in range(len(truth)):
        about = _ABOUT[ACTIVITIES[int(spoken[segment])]]
        texts = [str(rng.choice(about))]
        texts += [
            str(rng.choice(_TALK[_level(float(truth.talk[segment]), rng)]))
            for _ in range(_UTTERANCES - 1)
        ]
        rng.shuffle(texts)
        step_ms = SEGMENT_MS // _UTTERANCES
        for place, text in enumerate(texts):
            start_ms = segment * SEGMENT_MS + place * step_ms + int(rng.integers(0, step_ms // 3))
            said.append(Utterance(start_ms, start_ms + step_ms // 2, text))
    return said


def clip_title(activity: str, talk: float, rng: np.random.Generator) -> str:
    """What a clip is about and how good it says to be, `talk` a normal number."""
    about, praise = rng.choice(_ABOUT[activity]), rng.choice(_TALK[_level(talk, rng)])
    return f"{about}，{praise}"


def comments(truth: RoomTruth, rng: np.random.Generator) -> list[ViewerComment]:
    """All that viewers write, in order; what nobody was there any more to write is left out."""
    written = []
    moved = truth.excitement
    for segment in range(len(truth)):
        rate = 6.0 * truth.comment_rate[segment] * (truth.viewers[segment] / 800) ** 0.3
        for _ in range(min(int(rng.poisson(rate)), _MOST_COMMENTS)):
            if rng.random() < _NOISE_SHARE:
                at_ms = segment * SEGMENT_MS + int(rng.integers(0, SEGMENT_MS))
                text = str(rng.choice(_NOISE))
            else:
                # A burst: some moment of the segment, and everybody a little later.
                at_ms = segment * SEGMENT_MS + int(rng.uniform(5_000, 20_000))
                at_ms += 5_000 + int(rng.gamma(2.0, 5_000))
                text = str(rng.choice(_REACTIONS[_level(float(moved[segment]), rng)]))
            written.append(ViewerComment(at_ms, f"viewer-{int(rng.integers(0, 300))}", text))
    if rng.random() < _BOT_ROOM_RATE:
        written += _bot(truth, rng)
    return sorted(
        (each for each in written if each.at_ms < truth.duration_ms), key=lambda each: each.at_ms
    )


def _bot(truth: RoomTruth, rng: np.random.Generator) -> list[ViewerComment]:
    first = int(rng.integers(0, len(truth)))
    start_ms, text = first * SEGMENT_MS, str(rng.choice(_BOTS))
    times = range(start_ms, truth.duration_ms, SEGMENT_MS // _BOT_COMMENTS_A_SEGMENT)
    return [ViewerComment(at_ms, "bot-1", text) for at_ms in times]


def _level(value: float, rng: np.random.Generator) -> int:
    """0 to 4: about a fifth of normal values each, and now and then a neighbour."""
    noisy = value + 0.35 * float(rng.normal())
    return int(np.searchsorted((-0.9, -0.27, 0.27, 0.9), noisy))
