#include "plan.h"

#include <algorithm>
#include <stdexcept>

namespace sluice {
namespace {

constexpr size_t kMostFloats = size_t{1} << 31;  // 8 GiB of activations

bool is_present_when_skipped(const OpSpec& op) { return op.kind == OpKind::conv && op.inputs.size() == 2; }

}  // namespace

Window window_of(const OpSpec& conv) {
  return {static_cast<int>(conv.weight.shape[2]),
          static_cast<int>(conv.weight.shape[3]),
          attribute(conv, "stride_y"),
          attribute(conv, "stride_x"),
          attribute(conv, "padding_y"),
          attribute(conv, "padding_x"),
          attribute(conv, "dilation_y"),
          attribute(conv, "dilation_x")};
}

bool is_stem(const ProgramSpec& program, const OpSpec& op) {
  return op.kind == OpKind::conv && op.inputs.size() == 1 && op.inputs[0] == program.input && op.when == -1 &&
         program.values[program.input].channels() <= 4 && program.values[op.output].gate == -1 &&
         attribute(op, "groups") == 1 && attribute(op, "dilation_y") == 1 && attribute(op, "dilation_x") == 1;
}

bool is_winograd_shape(const OpSpec& op) {
  if (op.kind != OpKind::conv || attribute(op, "groups") != 1) return false;
  const Window w = window_of(op);
  return w.height == 3 && w.width == 3 && w.stride_y == 1 && w.stride_x == 1 && w.pad_y == 1 && w.pad_x == 1 &&
         w.dilation_y == 1 && w.dilation_x == 1;
}

Plan::Plan(const ProgramSpec& program, int threads) : program_(program), threads_(threads) {
  find_lists();
  find_geometries();
  find_lives();
  place();
}

void Plan::find_lists() {
  list_of_.assign(program_.values.size(), -1);
  for (size_t v = 0; v < program_.values.size(); ++v) {
    const ValueSpec& value = program_.values[v];
    most_channels_ = std::max(most_channels_, value.channels());
    if (value.gate == -1) continue;
    const int repeat = value.channels() / program_.values[value.gate].channels();
    const auto same = [&](const OpenListSpec& list) { return list.gate == value.gate && list.repeat == repeat; };
    auto found = std::find_if(lists_.begin(), lists_.end(), same);
    if (found == lists_.end()) found = lists_.insert(lists_.end(), {value.gate, repeat, value.channels()});
    list_of_[v] = static_cast<int>(found - lists_.begin());
  }
}

void Plan::find_geometries() {
  geometry_of_.assign(program_.values.size(), -1);
  for (size_t v = 0; v < program_.values.size(); ++v) {
    const ValueSpec& value = program_.values[v];
    const int height = value.height(), width = value.width();
    const auto same = [&](const Geometry& g) {
      return g.plane == value.is_plane() && g.height == height && g.width == width;
    };
    auto found = std::find_if(geometries_.begin(), geometries_.end(), same);
    if (found == geometries_.end())
      found = geometries_.insert(geometries_.end(), {value.is_plane(), height, width, 0, 0, 0});
    geometry_of_[v] = static_cast<int>(found - geometries_.begin());
  }
  // Winograd reads whole tiles of 4 and a border of one pixel, so the far border reaches up to 3 pixels
  // further.
  std::vector<int> far(geometries_.size(), 0);
  for (const OpSpec& op : program_.ops) {
    if (op.kind != OpKind::conv || is_stem(program_, op)) continue;
    Geometry& g = geometries_[geometry_of_[op.inputs[0]]];
    g.border = std::max({g.border, attribute(op, "padding_y"), attribute(op, "padding_x")});
    if (is_winograd_shape(op)) far[geometry_of_[op.inputs[0]]] = 3;
  }
  for (size_t i = 0; i < geometries_.size(); ++i) {
    Geometry& g = geometries_[i];
    g.row = static_cast<size_t>(g.width + 2 * g.border + far[i]) * kLanes;
    g.block = static_cast<size_t>(g.height + 2 * g.border + far[i]) * g.row;
  }
}

void Plan::find_lives() {
  last_use_.assign(program_.values.size(), -1);
  for (size_t i = 0; i < program_.ops.size(); ++i)
    for (const int input : program_.ops[i].inputs) last_use_[input] = static_cast<int>(i);
  last_use_[program_.output] = static_cast<int>(program_.ops.size());
}

int Plan::take_slot(int value) {
  const int geometry = geometry_of_[value];
  const size_t size = static_cast<size_t>(blocks_of(program_.values[value].channels())) * geometries_[geometry].block;
  std::vector<int>& free = free_slots_[geometry];
  if (free.empty()) {
    free.push_back(static_cast<int>(slot_sizes_.size()));
    slot_sizes_.push_back(0);
  }
  const int slot = free.back();
  free.pop_back();
  slot_sizes_[slot] = std::max(slot_sizes_[slot], size);
  return slot;
}

void Plan::place() {
  slot_of_.assign(program_.values.size(), -1);
  free_slots_.resize(geometries_.size());
  if (!read_only_by_stem(program_.input)) slot_of_[program_.input] = take_slot(program_.input);
  for (size_t i = 0; i < program_.ops.size(); ++i) {
    const OpSpec& op = program_.ops[i];
    const int now = static_cast<int>(i);
    if (op.output != -1 && !value(op.output).is_gate) {
      const int residual = is_present_when_skipped(op) ? op.inputs[1] : -1;
      const bool over = residual != -1 && last_use_[residual] == now && residual != op.inputs[0];
      slot_of_[op.output] = over ? slot_of_[residual] : take_slot(op.output);
      if (over) last_use_[residual] = -1;  // its slot goes on as the output's
      if (last_use_[op.output] == -1) free_slots_[geometry_of_[op.output]].push_back(slot_of_[op.output]);
    }
    std::vector<int> ending = op.inputs;
    std::sort(ending.begin(), ending.end());
    ending.erase(std::unique(ending.begin(), ending.end()), ending.end());
    for (const int input : ending)
      if (last_use_[input] == now && slot_of_[input] != -1)
        free_slots_[geometry_of_[input]].push_back(slot_of_[input]);
  }
  size_t total = 0;
  for (const size_t size : slot_sizes_) total += std::min(size, kMostFloats);
  if (total > kMostFloats) throw std::invalid_argument("program: its values need more than 8 GiB");
}

View Plan::view_in(int value, float* slot) const {
  const Geometry& g = geometries_[geometry_of_[value]];
  return {slot + g.border * g.row + static_cast<size_t>(g.border) * kLanes, g.height, g.width, g.row, g.block};
}

bool Plan::read_only_by_stem(int value) const {
  if (value != program_.input || value == program_.output) return false;
  for (const OpSpec& op : program_.ops)
    if (std::count(op.inputs.begin(), op.inputs.end(), value) != 0 && !is_stem(program_, op)) return false;
  return true;
}

bool Plan::is_settled(int value, Activation activation) const {
  if (activation == Activation::none) return true;
  if (activation != Activation::relu && activation != Activation::relu6) return false;
  for (const OpSpec& op : program_.ops) {
    if (op.output != value) continue;
    if (op.kind == OpKind::max_pool) return is_settled(op.inputs[0], activation);
    if (op.kind == OpKind::activation) return attribute(op, "function") == static_cast<int>(activation);
    const bool fused = op.kind == OpKind::conv || op.kind == OpKind::add || op.kind == OpKind::linear;
    return fused && attribute(op, "activation") == static_cast<int>(activation);
  }
  return false;
}

}  // namespace sluice
