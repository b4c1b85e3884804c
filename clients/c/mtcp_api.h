// Included by programs for mOS; all declarations are in mos_api.h.

#include "mos_api.h"
