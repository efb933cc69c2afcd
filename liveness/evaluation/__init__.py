"""How good a model is: ISO/IEC 30107-3 rates, reports, figures, sites left out.

- ``metrics``: APCER, BPCER, ACER, EER, thresholds, bootstrap intervals
- ``report``: scored faces to rates and text; the scores file
- ``calibration``: a threshold for one camera, written into the model's card
- ``plots``: DET, ROC, histograms, confusion matrix
- ``advice``: which of calibrating, adapting and filming more would help
- ``gallery``, ``html_report``: the faces judged worst, and the report as a page
- ``changes``: faces in other light, colours and focus
- ``sites``: split sites into folds; rates of each site
- ``cross_validation``: train without a fold, score it
- ``cluster_folds``: the same on the workers of a Dask cluster

Imported elsewhere: ``error_rates``, ``equal_error``, ``ScoredFaces``, ``evaluate``,
``CHANGES``, ``split_parts``, ``measure_folds``, ``results_of``.
"""
