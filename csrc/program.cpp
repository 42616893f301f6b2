#include "program.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace sluice {
namespace {

[[noreturn]] void refuse(const OpSpec& op, const std::string& name, const char* rule) {
  throw std::invalid_argument("op '" + op.name + "': attribute " + name + " " + rule);
}

const Attribute& attribute(const OpSpec& op, const std::string& name) {
  const auto found = op.attributes.find(name);
  if (found == op.attributes.end()) refuse(op, name, "is missing");
  return found->second;
}

}  // namespace

int integer(const OpSpec& op, const std::string& name) {
  const auto* content = std::get_if<int64_t>(&attribute(op, name));
  if (content == nullptr) refuse(op, name, "is no whole number");
  if (*content < std::numeric_limits<int>::min() || *content > std::numeric_limits<int>::max())
    refuse(op, name, "is out of range");
  return static_cast<int>(*content);
}

float number(const OpSpec& op, const std::string& name) {
  const Attribute& content = attribute(op, name);
  double number = 0.0;
  if (const auto* whole = std::get_if<int64_t>(&content)) {
    number = static_cast<double>(*whole);
  } else if (const auto* real = std::get_if<double>(&content)) {
    number = *real;
  } else {
    refuse(op, name, "is no number");
  }
  if (!(std::fabs(number) <= std::numeric_limits<float>::max())) refuse(op, name, "is no finite float32");
  return static_cast<float>(number);
}

const std::string& text(const OpSpec& op, const std::string& name) {
  const auto* content = std::get_if<std::string>(&attribute(op, name));
  if (content == nullptr) refuse(op, name, "is no text");
  return *content;
}

ChannelMaps::ChannelMaps(const ProgramSpec& program) : program_(program) {
  int64_t flags = 0;
  for (size_t v = 0; v < program.values.size(); ++v) {
    first_flags_.push_back(flags);
    if (!program.values[v].is_gate) continue;
    gates_.push_back(static_cast<int>(v));
    flags += program.values[v].channels();
  }
}

ChannelMap ChannelMaps::operator[](int value) const {
  ChannelMap map;
  bool gated = false;
  for (const ChannelRun& run : program_.values[value].runs) {
    gated = gated || run.gate != -1;
    const int64_t first = run.gate == -1 ? -1 : first_flags_[run.gate] + run.first;
    for (int i = 0; i < run.count; ++i) map.push_back(run.gate == -1 ? -1 : first + i / run.repeat);
  }
  return gated ? map : ChannelMap{};
}

std::pair<int, int> ChannelMaps::flag(int64_t number) const {
  if (number == -1) return {-1, 0};
  const auto behind = std::upper_bound(gates_.begin(), gates_.end(), number,
                                       [&](int64_t flag, int gate) { return flag < first_flags_[gate]; });
  return {behind[-1], static_cast<int>(number - first_flags_[behind[-1]])};
}

}  // namespace sluice
