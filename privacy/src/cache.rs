//! A bounded cache of what was used lately: two generations, the older of which is dropped when the younger is full.
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(crate) struct Cache<K, V> {
    generations: Mutex<Generations<K, V>>,
    young_max: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Copy, V: Clone> Cache<K, V> {
    /// Holds at least the last `young_max` values used, at most twice as many.
    pub(crate) fn new(young_max: usize) -> Self {
        let generations = Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        Self { generations, young_max }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let value = generations.old.remove(key)?;
        generations.insert(*key, value.clone(), self.young_max);
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.lock().insert(key, value, self.young_max);
    }

    /// Changes values where they stand, each with what is given for it; to be used they do not count.
    pub(crate) fn update<T>(&self, given: impl Iterator<Item = (K, T)>, update: impl Fn(&mut V, T)) {
        let mut generations = self.lock();
        let Generations { young, old } = &mut *generations;
        for (key, given) in given {
            if let Some(value) = young.get_mut(&key).or_else(|| old.get_mut(&key)) {
                update(value, given);
            }
        }
    }

    pub(crate) fn remove(&self, key: &K) {
        let mut generations = self.lock();
        generations.young.remove(key);
        generations.old.remove(key);
    }

    /// Keeps the values of the keys that `is_kept` accepts.
    pub(crate) fn retain(&self, is_kept: impl Fn(&K) -> bool) {
        let mut generations = self.lock();
        generations.young.retain(|key, _| is_kept(key));
        generations.old.retain(|key, _| is_kept(key));
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        // Every step leaves a valid cache behind, also if a thread panicked in between.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: V, young_max: usize) {
        if self.young.len() >= young_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let cache = Cache::new(4);
        for key in 0..100 {
            cache.insert(key, key);
            assert_eq!(cache.get(&0), Some(0), "after {key}");
        }
        assert_eq!(cache.get(&99), Some(99));
        assert_eq!(cache.get(&50), None);
        let held = cache.lock();
        assert!(held.young.len() + held.old.len() <= 8);
    }

    #[test]
    fn a_newer_value_replaces_the_one_in_either_generation() {
        let cache = Cache::new(2);
        for key in [1, 2, 3] {
            cache.insert(key, "first");
        }
        cache.insert(1, "second");
        assert_eq!(cache.get(&1), Some("second"));
    }
}
