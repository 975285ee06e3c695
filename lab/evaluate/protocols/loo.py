"""`loo`: leave one out. The last item of each user is to be found, the last but one chooses the epoch, everything before trains.

All items are ranked, those that the user has seen are left out, a tie counts against the model. Beside the encoder stands what the product
serves: the encoder's scores and those of item-to-item counts, weighed on the items that also choose the epoch.
"""

from lab.evaluate.offline import OfflinePolicy

_DENSE = OfflinePolicy(epochs=60, users=64, rate=4e-3, dropout=0.2)
_SPARSE = OfflinePolicy(epochs=24, users=128, rate=2e-3, dropout=0.4, full_softmax_items=0)
DENSE_FROM = 50.0  # interactions a user, on average
ANCHORS = {
    "ml-1m": {
        "SASRec+ (Klenitskiy and Vasilev 2023)": {"hr_at_10": 0.3159, "ndcg_at_10": 0.1857},
        "HSTU-large (Zhai et al. 2024)": {"hr_at_10": 0.3294, "ndcg_at_10": 0.1893},
    },
    "Beauty": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0647, "ndcg_at_10": 0.0327}},
    "Sports_and_Outdoors": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0385, "ndcg_at_10": 0.0204}},
    "Toys_and_Games": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0700, "ndcg_at_10": 0.0376}},
    "Yelp": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0341, "ndcg_at_10": 0.0168}},
    "LastFM": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0743, "ndcg_at_10": 0.0427}},
}
