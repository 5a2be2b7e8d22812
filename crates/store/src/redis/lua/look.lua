-- A counter as a node sees it. ARGV: node.
if #fields == 0 then return false end
-- Only a window with a beginning is over; what is spent until a moment stays.
if begin ~= '0' and now >= tonumber(ends) then spent = nothing end
return state(ends - now)
