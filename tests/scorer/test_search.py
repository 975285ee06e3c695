"""Queries by words in several scripts: a city finds the items whose titles name it."""

import unicodedata

import numpy as np
import pytest

from eddy_scorer.core.ranking.recommender import Recommender
from tests.scorer.factories import item, item_ids_of, recommend, request, scenarios

LANGUAGES = {
    "English": (["London", "Paris", "Berlin", "Madrid", "Vienna", "Lisbon"], " ", "hotel museum bridge school park"),
    "Chinese": (["北京", "上海", "广州", "哈尔滨", "南京", "重庆"], "", "酒店 博物馆 大桥 学校 公园"),
    "Chinese, spaced": (["北京", "上海", "广州", "哈尔滨", "南京", "重庆"], " ", "酒店 博物馆 大桥 学校 公园"),
    "Japanese": (["東京", "大阪", "京都", "ニセコ", "札幌", "名古屋"], "の", "ホテル 美術館 橋 学校 公園"),
    "Korean": (["서울", "부산", "대구", "인천", "광주", "제주"], "의 ", "호텔 박물관 다리 학교 공원"),
    "Thai": (["กรุงเทพ", "เชียงใหม่", "ภูเก็ต", "พัทยา", "ลำปาง", "สุโขทัย"], "", "โรงแรม พิพิธภัณฑ์ สะพาน โรงเรียน สวน"),
    "Hindi": (["दिल्ली", "मुंबई", "कोलकाता", "चेन्नई", "पुणे", "जयपुर"], " ", "होटल संग्रहालय पुल विद्यालय उद्यान"),
    "Vietnamese": (
        ["Hà Nội", "Huế", "Đà Nẵng", "Cần Thơ", "Vinh", "Hạ Long"],
        " ",
        "khách_sạn bảo_tàng cầu trường chợ",
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_city_finds_its_items(language: str) -> None:
    cities, joint, nouns = LANGUAGES[language]
    engine = Recommender(scenarios(), np.random.default_rng(0))
    for index, city in enumerate(cities):
        for number, noun in enumerate(nouns.split() * 2):
            title = unicodedata.normalize("NFD", f"{city}{joint}{noun}{number // 5 or ''}")
            engine.apply_item(item(f"{index}-{number}", title=title))
    engine.state.rebuild()
    slates = recommend(engine, *(request("u", query=city.upper(), limit=10) for city in cities))
    for index, slate in enumerate(slates):
        assert {item_id.partition("-")[0] for item_id in item_ids_of(slate)} == {str(index)}
        assert len(slate["items"]) == 10
