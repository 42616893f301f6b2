// The room of a kind of op: one file in this folder. CMake makes a table of all rooms, ops.inc.
#pragma once

#include "operator.h"

namespace sluice {

class Rules;  // see rules.h

// What an operator is made from.
struct Making {
  const Plan& plan;
  const OpSpec& op;
  Ways ways;
  int exit;  // exits before this op
};

struct OpRoom {
  const char* kind;
  // The shape that the output has, empty where there is none. Throws std::invalid_argument, one line, unless inputs,
  // attributes, tensors and channel maps are as `make` relies on.
  Shape (*check)(const Rules& rules);
  OperatorPtr (*make)(const Making& making);
  Reading (*reading)(const ProgramSpec& program, const OpSpec& op) = nullptr;
  int (*stand_in)(const OpSpec& op) = nullptr;  // the value that becomes its output where it is skipped, or -1
};

// The room of a kind; std::invalid_argument if there is none.
const OpRoom& room_of(const std::string& kind, const std::string& op);

}  // namespace sluice
