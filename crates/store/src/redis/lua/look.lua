-- A counter as a node sees it. ARGV: node.
if #fields == 0 then return false end
-- Only a window with a beginning is over; what is spent until a moment stays.
if begin and now >= ends then spent = {'0', '0', '0', '0'} end
return state((ends or now) - now)
