// Where each value lives, decided once when a program is loaded.
//
// Values with the same plane share a geometry, and memory is reused only among them: their zero border is
// written once and never again. A convolution that adds a residual writes in the residual's own place where
// nothing else reads it later, so a branch that a layer gate closes is truly no work: its output is already
// there.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"
#include "program.h"

namespace sluice {

struct Geometry {
  bool plane;  // or a vector, which has no border
  int height, width;
  int border;    // pixels left of and above the plane; at least as many right of and below it
  size_t row;    // floats
  size_t block;  // floats
};

struct OpenListSpec {
  int gate;    // index of the gate's value
  int repeat;  // channels per flag
  int channels;
};

class Plan final {
 public:
  // `program` is checked, and outlives the plan.
  Plan(const ProgramSpec& program, int threads);

  const ProgramSpec& program() const { return program_; }
  const ValueSpec& value(int index) const { return program_.values[index]; }
  int threads() const { return threads_; }

  const std::vector<OpenListSpec>& lists() const { return lists_; }
  int list_of(int value) const { return list_of_[value]; }  // -1 where the value is not gated
  int most_channels() const { return most_channels_; }

  const std::vector<size_t>& slots() const { return slot_sizes_; }  // floats each
  int slot_of(int value) const { return slot_of_[value]; }
  View view_in(int value, float* slot) const;  // where the value lies in its slot

  bool read_only_by_stem(int value) const;                  // the program's input, wanted without lanes
  bool is_settled(int value, Activation activation) const;  // applying `activation` again changes nothing

 private:
  void find_lists();
  void find_geometries();
  void find_lives();
  void place();
  int take_slot(int value);

  const ProgramSpec& program_;
  int threads_;
  int most_channels_ = 1;
  std::vector<OpenListSpec> lists_;
  std::vector<int> list_of_, slot_of_, geometry_of_, last_use_;
  std::vector<Geometry> geometries_;
  std::vector<int> slot_geometry_;
  std::vector<size_t> slot_sizes_;
  std::vector<std::vector<int>> free_slots_;  // per geometry
};

// True for a convolution that the stem kernel runs: few ungated input channels, ungated output.
bool is_stem(const ProgramSpec& program, const OpSpec& op);

// True for a convolution that Winograd F(4x4, 3x3) can compute.
bool is_winograd_shape(const OpSpec& op);

Window window_of(const OpSpec& conv);

}  // namespace sluice
