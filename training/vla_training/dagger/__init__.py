"""DAgger: the learner acts, the expert says what it would have done, and all of it is learnt from.

Source: Ross, Gordon and Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning", AISTATS 2011.
"""
