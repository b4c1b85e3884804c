//! Header readers over anything that hands out bytes by offset.
