//! Match rate and RMSE of reconstruction and structure prediction; METRe and cRMSE.
