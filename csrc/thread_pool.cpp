#include "thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Waits for a condition that should hold within microseconds; gives the core away where it does not.
template <class Condition>
void spin_until(Condition condition) {
  for (int spins = 0; !condition(); ++spins) {
    pause();
    if (spins > 20000) {
      std::this_thread::yield();
      spins = 0;
    }
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

ThreadPool::Awake::Awake(ThreadPool& pool) : pool_(pool) {
  if (pool_.workers_.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(pool_.mutex_);
    pool_.awake_.store(true, std::memory_order_release);
  }
  pool_.wake_.notify_all();
}

ThreadPool::Awake::~Awake() {
  if (pool_.workers_.empty()) return;
  const std::lock_guard<std::mutex> lock(pool_.mutex_);
  pool_.awake_.store(false, std::memory_order_release);
}

void ThreadPool::start(Function function, const void* context, int chunks) {
  function_ = function;
  context_ = context;
  chunks_ = chunks;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);
  take_chunks(0);
  spin_until([this] { return busy_.load(std::memory_order_acquire) == 0; });
}

void ThreadPool::take_chunks(int thread) {
  for (int chunk; (chunk = next_.fetch_add(1, std::memory_order_relaxed)) < chunks_;)
    function_(context_, chunk, thread);
}

void ThreadPool::work(int thread) {
  unsigned seen = 0;
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || awake_.load(std::memory_order_relaxed) || job_.load() != seen; });
      if (stop_) return;
    }
    for (;;) {
      spin_until(
          [&] { return job_.load(std::memory_order_acquire) != seen || !awake_.load(std::memory_order_acquire); });
      if (job_.load(std::memory_order_acquire) == seen) break;
      ++seen;
      take_chunks(thread);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }
}

}  // namespace sluice
